"""What check_installer_builder asks and opens: the Custom Installer Builder's calls, and the installers it packs. Nothing here knows Nagios."""
