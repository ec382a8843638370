"""Where perfdata comes from: spool directories, FIFOs, standard input; and the fields of a line."""
