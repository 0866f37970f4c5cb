import { type Explanation, explainStatus, LATER } from '../http/http-errors.ts'

const SIGN_IN =
  'run "kvar login dropbox" again and put the new KVAR_DROPBOX_REFRESH_TOKEN into the environment'
const SCOPES =
  'in the app console under "Permissions" tick files.metadata.read, files.content.read and files.content.write, then run "kvar login dropbox" again'

/**
 * The tags of Dropbox's errors. Sources: Dropbox HTTP API documentation (www.dropbox.com/developers/
 * documentation/http/documentation), "Errors", "files/upload" (UploadError, WriteError), "files/download"
 * and "files/list_folder" (LookupError), "files/upload_session" (UploadSessionLookupError), "auth"
 * (AuthError); the Error Handling Guide, and the Data Ingress Guide for status 429. Tags that are not
 * here are judged by their status.
 */
const TAGS: Record<string, Explanation> = {
  expired_access_token: denied('the access token has expired', SIGN_IN),
  invalid_access_token: denied('the sign-in was taken back', SIGN_IN),
  missing_scope: denied('the app does not have the right to it', SCOPES),
  user_suspended: denied('the account is suspended', 'look at the account on dropbox.com'),
  invalid_select_user: denied('the app is one for teams', 'register an app for a single person'),
  invalid_account_type: denied('this kind of account may not do it', 'look at the account on dropbox.com'),
  no_permission: denied('the app does not have the right to it', SCOPES),
  no_write_permission: denied('this account may not write there', 'choose a folder of your own'),
  team_folder: denied('it is a folder of a team', 'choose a folder of your own'),
  email_unverified: denied('the account’s e-mail address is not verified', 'verify it on dropbox.com'),
  locked: temporary('the file is locked'),

  too_many_requests: temporary('Dropbox is asked too often'),
  too_many_write_operations: temporary('somebody else is writing to the same Dropbox'),
  reset: temporary('the listing has to begin anew'),
  internal_error: temporary('Dropbox failed'),
  incorrect_offset: temporary('a part of the upload got lost'),
  closed: temporary('the upload was ended too early'),
  not_closed: temporary('the upload was not ended'),
  content_hash_mismatch: temporary('the object was damaged on its way'),

  insufficient_space: {
    failure: 'full',
    reason: 'the Dropbox is full',
    hint: 'make room (deleted files count no more) or buy some; versions wait here meanwhile',
  },
  insufficient_quota: {
    failure: 'full',
    reason: 'the Dropbox is full',
    hint: 'make room (deleted files count no more) or buy some; versions wait here meanwhile',
  },

  payload_too_large: permanent(
    'Dropbox takes no object this large',
    'use another provider for this database',
  ),
  too_large: permanent('Dropbox takes no object this large', 'use another provider for this database'),
  malformed_path: permanent('Dropbox does not take this name', 'choose another folder'),
  disallowed_name: permanent('Dropbox does not take this name', 'choose another folder'),
  restricted_content: permanent('Dropbox has locked the file', 'look at the account on dropbox.com'),
  unsupported_content_type: permanent('it is no plain file', 'choose a folder that is for Kvar alone'),
  not_folder: permanent('a file stands where the folder should be', 'move it away, or choose another folder'),
  folder: permanent('a folder stands where the object should be', 'choose a folder that is for Kvar alone'),
  file_ancestor: permanent(
    'a file stands where a folder should be',
    'choose a folder that is for Kvar alone',
  ),
}

/** Lookups that fail because an upload session is gone say the same word as those for files. */
export const SESSION_GONE: Explanation = temporary('the upload was forgotten')

/** @param tags from the general to the special one, such as `path`, `conflict`, `file` */
export function explainDropbox(status: number, tags: string[]): Explanation {
  for (const tag of tags.toReversed()) {
    const known = Object.hasOwn(TAGS, tag) ? TAGS[tag] : undefined
    if (known !== undefined) return known
  }
  if (status === 401) return denied('Dropbox does not accept the sign-in', SIGN_IN)
  if (status === 409)
    return permanent(
      `Dropbox refused (${tags.join('/') || 'it does not say why'})`,
      'is the folder one for Kvar alone?',
    )
  return explainStatus(status)
}

function temporary(reason: string): Explanation {
  return { failure: 'temporary', reason, hint: LATER }
}

function denied(reason: string, hint: string): Explanation {
  return { failure: 'denied', reason, hint }
}

function permanent(reason: string, hint: string): Explanation {
  return { failure: 'permanent', reason, hint }
}
