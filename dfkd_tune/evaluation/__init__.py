"""Evaluate how closely a student matches its teacher: stress bank, worst-gap attack, worst regions, certificate."""
