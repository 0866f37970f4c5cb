import { basename } from 'node:path'
import type { CopyStatus, KeeperStatus, Safety, TargetStatus } from '../keeper/status.ts'
import type { Output } from './output.ts'
import { type Column, tableLines } from './table.ts'
import { bytesText, countText, durationText, shortTimeText } from './words.ts'

const MEANING: Record<Safety, 'good' | 'care' | 'bad'> = {
  safe: 'good',
  late: 'care',
  'only-here': 'care',
  'not-safe': 'bad',
}

const COLUMNS: Column[] = [
  { title: 'target' },
  { title: 'version', align: 'right' },
  { title: 'behind', align: 'right' },
  { title: 'size', align: 'right' },
  { title: 'confirmed' },
  { title: 'note' },
]

/** The answer first, then where everything is, then what else is worth knowing. */
export function statusLines(status: KeeperStatus, out: Output, nowMs: number): string[] {
  const { targets, copies, branches, notes } = status
  return [
    out.paintFirstWord(status.sentence, MEANING[status.safety]),
    ...(targets.length === 0
      ? []
      : tableLines(
          COLUMNS,
          targets.map((one) => targetRow(one, status, nowMs)),
        )),
    ...copies.map((copy) => `  ${copyText(copy, nowMs)}`),
    ...(branches === 0
      ? []
      : [`  ${countText(branches, 'branch', 'branches')} kept aside: kvar versions --branches`]),
    ...notes.map((note) => `  ${note}`),
  ]
}

function targetRow(target: TargetStatus, { targets }: KeeperStatus, nowMs: number): string[] {
  const isOnlyOne = targets.filter(({ kind }) => kind === target.kind).length === 1
  return [
    isOnlyOne ? target.kind : target.url,
    target.version === 0 ? '-' : String(target.version),
    durationText(target.behindMs),
    target.storedBytes === null ? '' : bytesText(target.storedBytes),
    target.confirmedAt === null ? '-' : shortTimeText(target.confirmedAt, nowMs),
    targetNote(target, nowMs),
  ]
}

function targetNote({ role, sameDisk, problem, nextTryAt }: TargetStatus, nowMs: number): string {
  const wait = nextTryAt === null ? undefined : Date.parse(nextTryAt) - nowMs
  const next = wait === undefined ? '' : `, next try in ${durationText(wait)}`
  return [
    ...(role === 'ledger' ? ['ledger'] : []),
    ...(sameDisk ? ['on the database’s own disk'] : []),
    ...(problem === null ? [] : [problem.message + next]),
  ].join('; ')
}

function copyText({ kind, path, version, writtenAt, problem }: CopyStatus, nowMs: number): string {
  const name = `${kind === 'json' ? 'JSON' : '.backup'} copy ${basename(path)}`
  if (problem !== null) return `${name}: ${problem.message}`
  if (writtenAt === null) return `${name}: not written yet`
  return `${name}: ${version === 0 ? '' : `version ${version}, `}written ${shortTimeText(writtenAt, nowMs)}`
}
