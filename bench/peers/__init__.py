"""How each peer is asked for the same work, in its fastest documented way."""
