from shared.platform.migrations import run

run("presence")
