"""Recorded students leave: as files, with how fast they are, and compared with real rows."""
