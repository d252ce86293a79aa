"""The story of a conversation: what a mount or a capture recorded, as one model that pictures are drawn from."""
