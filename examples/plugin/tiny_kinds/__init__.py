"""A package that adds kinds to dfkd-tune."""
