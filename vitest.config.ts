// How vitest runs here: two workers (the machines that matter have two cores), long tests only where they are asked for.
// Stages other than unit are chosen by path in scripts/check.mjs; this file knows nothing of them.
import { configDefaults, defineConfig } from 'vitest/config'

const long = process.env['GRAFT_LONG'] === '1'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    exclude: long ? configDefaults.exclude : [...configDefaults.exclude, '**/*.long.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    allowOnly: false,
  },
})
