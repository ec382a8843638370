"""A private stack of real daemons on loopback: libvirt with QEMU guests, NRPE, Nagios, carbon and graphite-web.

Used by bin/demo, the real tests and the benchmarks. Everything of one stack lies below one folder (its root), listens
on 127.0.0.1 only, and is ended by process id; nothing of the machine's own daemons, guests or files is touched. Needs
the standard library and Debian's packages only.
"""
