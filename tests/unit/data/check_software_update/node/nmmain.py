version = "0.1-old"
