"""The driver of a virtio-net device (VIRTIO 1.2 §5.1), in this process or behind shared memory."""
