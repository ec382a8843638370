"""What check_advertise_server asks: the round trip of a value, and who is advertised under the keys of node states."""
