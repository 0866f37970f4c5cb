import type { Bilingual } from '../shared/event-types.ts'
import { WORDS } from './words.ts'

export type LanguageCode = keyof Bilingual

const STORAGE_KEY = 'familjekalender.language'

/** The language of the page: Swedish until somebody chooses, then remembered in this browser. */
class Language {
  code = $state<LanguageCode>(remembered())

  /** Every word of the page in the chosen language. */
  get words() {
    return WORDS[this.code]
  }

  choose(code: LanguageCode): void {
    this.code = code
    try {
      localStorage.setItem(STORAGE_KEY, code)
    } catch {
      // A browser that remembers nothing still shows the language now.
    }
  }

  pick(text: Bilingual): string {
    return text[this.code]
  }
}

function remembered(): LanguageCode {
  try {
    return localStorage.getItem(STORAGE_KEY) === 'en' ? 'en' : 'sv'
  } catch {
    return 'sv'
  }
}

export const language = new Language()
