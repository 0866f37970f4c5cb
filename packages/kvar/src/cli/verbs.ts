import type { VerbModule } from './verb.ts'

interface VerbEntry {
  name: string
  summary: string
  /** A verb's file is loaded when the verb is used: starting stays quick. */
  load: () => Promise<VerbModule>
}

/** Every verb, in the order in which help shows them. */
export const VERBS: VerbEntry[] = [
  {
    name: 'run',
    summary: 'restore the database, run an app, protect the database meanwhile',
    load: () => import('./run.ts'),
  },
  {
    name: 'status',
    summary: 'say whether everything is stored, where, and how old it is',
    load: () => import('./status.ts'),
  },
  {
    name: 'restore',
    summary: 'bring the newest or an older version back; what was there is kept',
    load: () => import('./restore.ts'),
  },
  {
    name: 'versions',
    summary: 'list what there is to go back to',
    load: () => import('./versions.ts'),
  },
  {
    name: 'branches',
    summary: 'list the contents that were kept aside, or make one of them the newest version',
    load: () => import('./branches.ts'),
  },
  {
    name: 'targets',
    summary: 'list the targets, or make a follower the ledger when that one is lost',
    load: () => import('./targets.ts'),
  },
  {
    name: 'verify',
    summary: 'check what is stored: its structure, every checksum, or a restore rehearsed',
    load: () => import('./verify.ts'),
  },
  {
    name: 'doctor',
    summary: 'say in words whether this machine, the database and the targets are well',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'prune',
    summary: 'give up what keep does not promise any more, or say what that would be',
    load: () => import('./prune.ts'),
  },
  {
    name: 'backup',
    summary: 'store everything now, write the copies, say where they are',
    load: () => import('./backup.ts'),
  },
  {
    name: 'export',
    summary: 'write the database as readable JSON',
    load: () => import('./export.ts'),
  },
  {
    name: 'import',
    summary: 'load a JSON copy into the database',
    load: () => import('./import.ts'),
  },
  {
    name: 'login',
    summary: 'sign in to Dropbox or Google Drive, and say what to put into the environment',
    load: () => import('./login.ts'),
  },
]

const WITH_VALUE = new Set(['--db', '--target'])

/** The verb that an argument list names, or after `help` the one that is asked about. */
export function findVerb(commandLine: string[]): string | undefined {
  for (let index = 0; index < commandLine.length; index++) {
    const word = commandLine[index] as string
    if (WITH_VALUE.has(word)) index += 1
    else if (!word.startsWith('-') && word !== 'help') return word
  }
  return undefined
}
