"""Paper trading whose numbers can be trusted."""
