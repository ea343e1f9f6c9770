"""What models learn on recordings, online and nested."""
