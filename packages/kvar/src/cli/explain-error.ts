import { KvarError, type KvarErrorCode, toKvarError } from '../errors.ts'
import { systemErrorCode } from '../platform/files.ts'

const SYSTEM_ERRORS: Record<string, [code: KvarErrorCode, sentence: string, hint: string]> = {
  ENOSPC: ['TARGET_FULL', 'The disk is full', 'make room; nothing that was there before was changed'],
  EDQUOT: [
    'TARGET_FULL',
    'The disk quota is used up',
    'make room; nothing that was there before was changed',
  ],
  EACCES: ['TARGET_DENIED', 'The system refuses access', 'look at the rights of the file and its folder'],
  EPERM: ['TARGET_DENIED', 'The system refuses access', 'look at the rights of the file and its folder'],
  EROFS: ['TARGET_DENIED', 'The disk cannot be written to', 'name a place on another disk'],
  ENOENT: ['NOT_FOUND', 'A file or folder is missing', 'check the path'],
  ENOTDIR: ['NOT_FOUND', 'A part of the path is no folder', 'check the path'],
  EISDIR: ['USAGE', 'A folder stands where a file is needed', 'name a file'],
}

/** Any failure as an error that a person can act on: what the system said becomes a sentence. */
export function explainError(thrown: unknown): KvarError {
  if (thrown instanceof KvarError) return thrown
  const known = SYSTEM_ERRORS[systemErrorCode(thrown) ?? '']
  if (known === undefined) return toKvarError(thrown)
  const [code, sentence, hint] = known
  const path = (thrown as { path?: unknown }).path
  const where = typeof path === 'string' ? `: "${path}"` : ''
  return new KvarError(code, sentence + where, { hint, cause: thrown })
}
