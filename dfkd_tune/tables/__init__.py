"""``describe``: read a table and publish aggregates of it. No other package reads real data."""
