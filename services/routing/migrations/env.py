from shared.platform.migrations import run

run("routing")
