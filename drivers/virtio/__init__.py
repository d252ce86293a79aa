"""A virtio-net device's driver (VIRTIO 1.2 §5.1), for devices in this process or behind shared memory."""
