// The parts of the long tests. A new `*.long.test.ts` belongs to one of them; each part takes at
// most 40 minutes on two cores.

/** No part may take longer; it is stopped then. */
export const longestMinutes = 40

/**
 * By name: what is tested, its files, and about how many minutes it takes on two idle cores.
 * `settings`: the options that change its length, each with the environment variable that the test
 * reads.
 */
export const longParts = {
  inputs: {
    about: '20,000 rows, 5,000 adapter folders and 2,400 foreign files of other seeds',
    minutes: 2,
    files: ['test/corpus.long.test.ts'],
  },
  engine: {
    about: '500 experts loaded, asked and unloaded: memory stays',
    minutes: 2,
    files: ['src/runtime/engine/loading.long.test.ts'],
  },
  experts: {
    about: 'the released experts on 50 held-out rows each: none has fallen',
    minutes: 8,
    files: ['src/node/library/check-released.long.test.ts'],
  },
  capture: {
    about: "an expert learns a teacher's calls, and answers before it those that it can",
    minutes: 2,
    files: ['test/e2e/replace.long.test.ts'],
  },
  grammar: {
    about: 'over 1,000 samples under JSON Schemas',
    minutes: 4,
    files: ['src/node/grammar/sampling.long.test.ts'],
  },
  registry: {
    about: '200 kills in the middle of add, remove, gc and publish',
    minutes: 10,
    files: ['src/node/registry/kills.long.test.ts'],
  },
  kills: {
    about: 'commands, runs, replicas and improvements that are killed again and again',
    minutes: 20,
    files: [
      'test/e2e/kill.long.test.ts',
      'test/e2e/joint-kill.long.test.ts',
      'test/e2e/replicas.long.test.ts',
      'test/improve-killed.long.test.ts',
    ],
  },
  server: {
    about:
      'a soak of 30 minutes: mixed load, cancels, swaps, publishing, feedback, jobs; memory stays',
    minutes: 32,
    files: ['test/server/soak.long.test.ts'],
    settings: { '--minutes': 'GRAFT_SOAK_MINUTES' },
  },
  requests: {
    about: '100,000 generated requests to all routes of the server',
    minutes: 5,
    files: ['test/server/fuzz.long.test.ts'],
    settings: { '--requests': 'GRAFT_FUZZ_REQUESTS' },
  },
  clients: {
    about: 'lm-eval and Schemathesis in a virtual environment',
    minutes: 15,
    files: ['test/clients/lm-eval.long.test.ts', 'test/clients/schemathesis.long.test.ts'],
    needs: 'test/clients',
  },
  memory: {
    about: 'the planned peak of training against the measured one',
    minutes: 6,
    files: ['test/train-plan.long.test.ts'],
  },
  ray: {
    about:
      'training and serving on a Ray cluster: kills, equal bytes, placement; installs Ray once (490 MB)',
    minutes: 20,
    files: ['test/ray/cluster.long.test.ts'],
  },
  browser: {
    about:
      'training in tabs that are closed; the engine in Firefox; what goes wrong for users of Studio',
    minutes: 4,
    files: [
      'test/browser/bad-input.long.test.ts',
      'test/browser/firefox-engine.long.test.ts',
      'test/browser/training-tabs.long.test.ts',
    ],
    needs: 'test/browser',
  },
  bundlers: {
    about: 'the packed package by Vite, webpack, Next.js and as plain files, each in Chromium',
    minutes: 5,
    files: ['test/bundlers/bundlers.long.test.ts'],
    needs: 'test/bundlers',
  },
  stores: {
    about: 'users and experts in S3 as moto plays it (GRAFT_MOTO names a Python that has it)',
    minutes: 3,
    files: [
      'src/node/stores/s3-moto.long.test.ts',
      'src/node/registry/content/s3-moto.long.test.ts',
    ],
  },
  'llama-cpp': {
    about: 'SmolLM2: the tokens of llama.cpp with a LoRA in f16, and those of transformers',
    minutes: 5,
    files: ['test/llama-cpp-smollm2.long.test.ts', 'test/smollm2-generate.long.test.ts'],
  },
  quickstart: {
    about: 'the main job on SmolLM2-135M-Instruct',
    minutes: 35,
    files: ['test/e2e/quickstart.long.test.ts'],
  },
}
