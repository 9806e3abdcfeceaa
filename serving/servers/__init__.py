"""Where model servers run; today processes of this machine."""
