"""The rooms of check_virt_stats: libvirt's answers as records, the guests that are stuck, and what is said of both."""
