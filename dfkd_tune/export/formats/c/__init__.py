"""Write a student as C99 for microcontrollers and tight loops, compile it and compare it."""
