"""What a policy asks for, kind by kind: pure, without a row or a clock of their own."""
