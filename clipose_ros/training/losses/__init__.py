"""Loss terms and their weighted total, Eq. (3) to (5) and (8) to (14) of CLIPose."""
