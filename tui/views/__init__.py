"""What screens show, as records made from the store: no widgets, made in the feed's thread."""
