"""`chatdesk hand-over`: what an agent holds goes to others; shown first, done when asked for."""
