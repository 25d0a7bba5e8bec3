"""What people see: every HTML page, from whichever apps it takes its data. Nothing imports it but the addresses."""
