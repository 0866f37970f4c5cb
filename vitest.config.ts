import { defineConfig } from 'vitest/config'

// Three groups, one after the other:
// - most files run side by side;
// - those that start keepers, servers and browsers run two at a time: they wait more than they work;
// - those that hold a deadline against another process run alone: beside others on two cores they would measure
//   the machine's load, not Kvar.

const PROCESSES = ['tests/fault/**/*.test.ts', 'tests/browser/**/*.test.ts', 'tests/cli/**/*.test.ts']
const ALONE = [
  'tests/fault/locks.test.ts',
  'tests/fault/signals.test.ts',
  'tests/fault/keeper-idle.test.ts',
  'packages/kvar/src/capture/capture.test.ts',
  'packages/kvar/src/keeper/scrub.test.ts',
]
const IGNORED = ['**/node_modules/**', '**/dist/**', '**/data/**']

/**
 * Real processes on a machine shared with others: a deadline may be missed once. The loops that look for
 * lost data (kill, wipe, a dead writer) say `retry: 0`: nothing of theirs is forgiven.
 */
const REAL_PROCESSES = { pool: 'forks', testTimeout: 120_000, hookTimeout: 120_000, retry: 1 } as const

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'side by side',
          include: ['packages/**/*.test.ts', 'apps/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: [...IGNORED, ...PROCESSES, ...ALONE],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'two at a time',
          include: PROCESSES,
          exclude: [...IGNORED, ...ALONE],
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
          ...REAL_PROCESSES,
        },
      },
      {
        test: {
          name: 'alone',
          include: ALONE,
          exclude: IGNORED,
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
          ...REAL_PROCESSES,
        },
      },
    ],
  },
})
