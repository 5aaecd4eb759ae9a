"""The tools that operators have on their shell's PATH."""
