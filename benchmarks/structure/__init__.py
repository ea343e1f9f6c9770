"""Structure search: what it does when the truth is known, and what a check costs."""
