"""The worker: claims runs, starts the evaluator, takes in results, publishes boards, tidies up after crashes."""
