/**
 * What a target's URL may say, per scheme: the one list that settings, errors and `openTarget` share.
 * A new target begins with a line here; `openTarget` then does not compile until it knows it too.
 */
export type TargetScheme = 'folder'

export interface SchemeRules {
  /** A URL that could be typed as it stands, for hints. */
  example: string
  /** The URL names a path of this machine; relative ones are made absolute. */
  isLocalPath: boolean
  /** The names that may stand behind `?`. */
  parameters: string[]
  /** Secrets by name, each with the environment variables that may hold it, the first that is set wins. */
  secrets: Record<string, string[]>
}

export const TARGET_SCHEMES: Record<TargetScheme, SchemeRules> = {
  folder: { example: 'folder:./backup', isLocalPath: true, parameters: [], secrets: {} },
}

/** Narrows a scheme that a person wrote to one that this program knows. */
export function isTargetScheme(scheme: string): scheme is TargetScheme {
  return Object.hasOwn(TARGET_SCHEMES, scheme)
}

/** For errors: `folder: (folder:./backup)`, one for each known scheme. */
export function knownSchemes(): string {
  return Object.entries(TARGET_SCHEMES)
    .map(([scheme, rules]) => `${scheme}: (${rules.example})`)
    .join(', ')
}
