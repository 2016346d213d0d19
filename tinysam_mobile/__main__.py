"""`python -m tinysam_mobile`: the command line."""

from tinysam_mobile.cli import main

main()
