import { defineConfig } from 'vitest/config'

// Two groups, one after the other. Most files run side by side. Those that start keepers, servers
// and browsers and kill them run one at a time: beside each other on two cores they would measure
// the machine's load, not Kvar.

const ONE_AT_A_TIME = [
  'tests/fault/**/*.test.ts',
  'tests/browser/**/*.test.ts',
  'tests/cli/**/*.test.ts',
  'packages/kvar/src/capture/capture.test.ts',
  'packages/kvar/src/keeper/scrub.test.ts',
]
const IGNORED = ['**/node_modules/**', '**/dist/**', '**/data/**']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'side by side',
          include: ['packages/**/*.test.ts', 'apps/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: [...IGNORED, ...ONE_AT_A_TIME],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'one at a time',
          include: ONE_AT_A_TIME,
          exclude: IGNORED,
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Real processes on a machine shared with others: a deadline may be missed once. The loops that
          // look for lost data (kill, wipe, a dead writer) say `retry: 0`: nothing of theirs is forgiven.
          retry: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
