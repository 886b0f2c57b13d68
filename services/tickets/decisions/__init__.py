"""What becomes of a ticket. Pure: `rules` over one event, `folding` over a batch."""
