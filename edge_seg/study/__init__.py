"""Studies: a comparison of quantization methods, written down as a file and run by one command.

    plan = read_plan(find("deeplab_ptq_qat"), quick=True)
    results = conduct(plan, Path("deeplab"), on_this_machine(1))
    results.conclusion            # only what the numbers show, with 95 % intervals

A plan (`plan`) is a grid; each of its cells (`expand`) is a job (`jobs`) that one function
does (`run.run`), in a child process (`crew`) or on a Ray cluster (`on_ray`). Each job leaves one
record (`records`), whole or not at all; what has a record is not done again.
"""
