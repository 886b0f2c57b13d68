"""`chatdesk why`: a chat's decisions, in plain words, from what routing said when it made them."""
