"""De-identification as data: what may leave, why, and the proof that it may."""
