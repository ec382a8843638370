"""The links of an IPOP or EdgeVPN overlay, from every generation that can be read: records, readers, traffic, report."""
