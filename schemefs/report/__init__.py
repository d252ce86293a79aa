"""One self-contained page of HTML about a mount or a lab: interfaces, links, conversations, drops.

of_mount   collects it from the tree of a mount
of_lab     collects it from the closing report of a lab and the capture of its links
page       what the page has, and the page
topology   the network of a lab as a picture
"""
