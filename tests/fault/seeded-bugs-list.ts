/** A mistake that a programmer could make, as a change of one place of the sources, and who must notice it. */
export interface SeededBug {
  name: string
  /** Inside packages/kvar/src. */
  file: string
  /** Must stand in the file exactly once. */
  find: string
  replace: string
  /** The test that fails because of it: its file, and its name as vitest shows it. */
  test: { file: string; name: string }
  /** It takes longer than a push allows. */
  isSlow?: boolean
}

const SRC = 'packages/kvar/src'
const model = {
  file: 'tests/fault/model.test.ts',
  name: '100 rounds of changes, every version from every target',
}
const twoKeepers = { file: 'tests/fault/two-keepers.test.ts', name: '20 rounds of two keepers on one log' }

export const SEEDED_BUGS: readonly SeededBug[] = [
  {
    name: 'an object gets its name before its content is on the disk',
    file: 'targets/folder/folder-target.ts',
    find: '      await file.sync()\n',
    replace: '',
    test: {
      file: `${SRC}/targets/folder/folder-target.test.ts`,
      name: 'syncs content and time before the link, and the folder before the answer',
    },
  },
  {
    name: 'a number that is taken counts as one’s own',
    file: 'log/ledger.ts',
    find: "    if (answer === 'created') return this.#stored(cut)\n",
    replace: '    return this.#stored(cut)\n',
    test: {
      file: `${SRC}/log/ledger.test.ts`,
      name: 'never both own a version, and everything acknowledged is in the log',
    },
  },
  {
    name: 'of two versions of a page the older one wins',
    file: 'formats/ltx-compact.ts',
    find: 'cursor.parser.pageNumber <= chosen.parser.pageNumber',
    replace: 'cursor.parser.pageNumber < chosen.parser.pageNumber',
    test: {
      file: `${SRC}/formats/ltx-compact.test.ts`,
      name: 'has the effect of its inputs, wherever the history is divided',
    },
  },
  {
    name: 'a restore goes beyond the version that was asked for',
    file: 'log/restore-plan.ts',
    find: '    .filter((file) => file.maxVersion <= version)\n',
    replace: '',
    test: {
      file: `${SRC}/log/restore-plan.test.ts`,
      name: 'is gapless and exact for any set of files, or no chain exists',
    },
  },
  {
    name: 'a lost newest version goes unnoticed',
    file: 'log/restore-plan.ts',
    find: '    assertNothingBeyond(files, head, where)\n',
    replace: '    void head\n',
    test: {
      file: `${SRC}/log/restore-plan.test.ts`,
      name: 'never goes past level 0, and says so when what lies beyond would be wanted',
    },
  },
  {
    name: 'a restored database is not compared with its checksum',
    file: 'log/restore.ts',
    find: '  if (recorded.every((sum) => sum === found)) return\n',
    replace: '  if (recorded.length > 0) return\n',
    test: {
      file: `${SRC}/log/restore.test.ts`,
      name: 'refuses a version whose pages are not what its header says',
    },
  },
  {
    name: 'the checksum at the end of a version file is not compared',
    file: 'formats/ltx-parser.ts',
    find: '    if (view.getBigUint64(8) !== (this.#crc.digest() | LTX_CHECKSUM_FLAG)) {',
    replace: '    if (view.getBigUint64(8) === LTX_CHECKSUM_FLAG) {',
    test: {
      file: `${SRC}/log/restore.test.ts`,
      name: 'with one bit flipped: the exact version another way, or an error naming the file and the nearest good version',
    },
  },
  {
    name: 'capture goes beyond the last commit',
    file: 'formats/wal.ts',
    find: '    if (view.getUint32(start + 4) !== 0) this.#commit(view.getUint32(start + 4))',
    replace: '    this.#commit(view.getUint32(start + 4) || pageNumber)',
    test: {
      file: `${SRC}/formats/wal.test.ts`,
      name: 'leaves out a transaction that spilled into the WAL without a commit, and takes it once committed',
    },
  },
  {
    name: 'large integers of a JSON copy lose digits',
    file: 'formats/json-reader.ts',
    find: 'INTEGER.test(source) ? BigInt(source) : Number(source)',
    replace: 'INTEGER.test(source) ? BigInt(Number(source)) : Number(source)',
    test: {
      file: `${SRC}/formats/json-reader.test.ts`,
      name: 'integers are exact, a byte order mark is skipped',
    },
  },
  {
    name: 'the WAL of the old database stays beside the restored one',
    file: 'keeper/start/swap-database.ts',
    find: "['', ...SIDE_FILES], intent.aside",
    replace: "[''], intent.aside",
    test: {
      file: `${SRC}/keeper/start/swap-database.test.ts`,
      name: 'a crash before any change, then the next start: the new file in place, the old one whole aside',
    },
  },
  {
    name: 'a version lacks its last page',
    file: 'keeper/version-cutter.ts',
    find: 'of pageNumbers.entries()) {',
    replace:
      'of pageNumbers.slice(0, version > 1 ? Math.max(1, pageNumbers.length - 1) : undefined).entries()) {',
    test: model,
  },
  {
    name: 'a flush answers before anything is confirmed',
    file: 'keeper/protector.ts',
    find: '      await waited\n',
    replace: '      waited.catch(() => undefined)\n',
    test: twoKeepers,
  },
  {
    name: 'a database that shrank keeps its old end',
    file: 'log/image-writer.ts',
    find: '    this.#file.truncateSync(this.pageCount * this.pageSize)\n',
    replace: '',
    test: model,
    isSlow: true,
  },
  {
    name: 'a version may bear an earlier time than the one before',
    file: 'log/claim.ts',
    find: '  return Math.max(nowMs, previousMs + 1)',
    replace: '  return nowMs + 0 * previousMs',
    test: {
      file: `${SRC}/log/ledger.test.ts`,
      name: 'change nothing, carry page 1, and are told from real versions',
    },
  },
  {
    name: 'what a fenced keeper could not store is not kept aside',
    file: 'keeper/protector.ts',
    find: '      if (this.unstored && log !== undefined) {',
    replace: '      if (this.unstored && log === undefined) {',
    test: {
      file: 'tests/fault/fencing.test.ts',
      name: 'the late one is fenced: flush is rejected, its changes become a branch, the log is the winner’s',
    },
    isSlow: true,
  },
  {
    name: 'a line of the protocol is believed unread',
    file: 'keeper/protocol-lines.ts',
    find: "  const value = parsed(line)\n  if (!isRecord(value)) return undefined\n  if ('cancel' in value)",
    replace: "  const value = parsed(line) as Record<string, unknown>\n  if ('cancel' in value)",
    test: { file: 'tests/fault/fuzz-found.test.ts', name: 'a line that is none ends neither keeper nor app' },
  },
  {
    name: 'a damaged memory of the keeper is believed',
    file: 'keeper/state-store.ts',
    find: 'format === STATE_FORMAT && isSoundMemory(value)',
    replace: 'format === STATE_FORMAT',
    test: { file: 'tests/fault/fuzz-found.test.ts', name: 'a keeper’s memory that is none counts as lost' },
  },
  {
    name: 'the lock page is captured like any other',
    file: 'formats/database-header.ts',
    find: '  return Math.floor(LOCK_BYTE_OFFSET / pageSize) + 1',
    replace: '  return Math.floor(LOCK_BYTE_OFFSET / pageSize) + 2',
    test: { file: 'tests/fault/boundaries.test.ts', name: 'the lock page of a database beyond 1 GiB' },
    isSlow: true,
  },
]
