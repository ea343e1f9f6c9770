"""Everything of scatonline that touches the world: sockets, files, clocks and threads."""
