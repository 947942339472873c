"""How faithful a student is: the stress bank, the attack, the regions where it is worst, the certificate."""
