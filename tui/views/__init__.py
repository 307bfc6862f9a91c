"""What screens show, as plain records that queries make in the feed's thread."""
