"""What is measured against peers; every speed in the README and docs comes from here."""
