"""Boots real kernels with a small guest and runs scenarios in them.

cpio      writes initramfs archives
image     what is in the guest: busybox, the load generator, programs under test, modules
machine   qemu: the accelerator probe, one boot, the lines that come out of it
scenario  finds scenarios and reads what they declare
session   runs scenarios one after the other and keeps the results
"""
