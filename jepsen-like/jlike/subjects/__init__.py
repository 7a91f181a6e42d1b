"""Programs that use what is tested as its users do, each a process of its own. Never imported: only
their files are named, by the workload that starts them."""
