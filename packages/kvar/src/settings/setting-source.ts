import { KvarError } from '../errors.ts'

/**
 * Where a setting came from. Errors name it, relative paths hang on it, and it decides whether a
 * secret may stand there: everybody on the machine can read a command line.
 */
export interface SettingSource {
  kind: 'option' | 'argument' | 'variable' | 'file' | 'default'
  /** As errors call it: `option "targets"`, `variable KVAR_TARGETS`, `"targets" in /app/kvar.config.json`. */
  label: string
  /** The absolute folder that relative paths of this source start from. */
  baseFolder: string
}

/**
 * A setting that cannot be used, with its origin and what would be allowed.
 *
 * @example
 * throw settingInvalid(source, '"5 apples" is not a duration', 'write for example 250ms, 30s, 7d or 1y')
 */
export function settingInvalid(
  source: SettingSource,
  sentence: string,
  hint: string,
  cause?: unknown,
): KvarError {
  return new KvarError('SETTING_INVALID', `Cannot use ${source.label}: ${sentence}`, {
    hint,
    data: { source: source.kind, setting: source.label },
    ...(cause === undefined ? {} : { cause }),
  })
}
