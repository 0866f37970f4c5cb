import { addDays, type CalendarDate, mondayOf } from '../shared/calendar-date.ts'
import type { Bilingual, EventFields, EventOccurrence, SafetyAnswer } from '../shared/event-types.ts'
import * as api from './api.ts'
import { savedWords, WAITING_WORDS } from './saved-words.ts'
import { localToday } from './week.ts'

/** A line that tells what became of the last change. */
export interface Notice {
  kind: 'stored' | 'waiting' | 'trouble'
  text: Bilingual
  /** The deleted event that "undo" puts back. */
  undoId?: number
}

const REFRESH_MS = 60_000
const WAITING_REFRESH_MS = 2_000
const NOTICE_MS = 10_000

/** What the page shows, and everything a person can do to it. */
export class Calendar {
  today = $state<CalendarDate>(localToday(new Date()))
  monday = $state<CalendarDate>(mondayOf(localToday(new Date())))
  occurrences = $state.raw<EventOccurrence[]>([])
  people = $state.raw<string[]>([])
  loaded = $state(false)
  safety = $state.raw<SafetyAnswer | undefined>(undefined)
  notice = $state.raw<Notice | undefined>(undefined)
  /** Events changed in this browser that are not held away from the server yet. */
  waitingIds = $state.raw<ReadonlySet<number>>(new Set())

  #noticeTimer: ReturnType<typeof setTimeout> | undefined
  #waitingTimer: ReturnType<typeof setTimeout> | undefined
  #lastAsked = 0

  /** Keeps the page fresh while somebody looks at it. Answers the function that ends it. */
  start(): () => void {
    const refresh = () => {
      if (document.visibilityState === 'visible') void this.refresh()
    }
    const timer = setInterval(refresh, REFRESH_MS)
    document.addEventListener('visibilitychange', refresh)
    void this.refresh()
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', refresh)
    }
  }

  async refresh(): Promise<void> {
    this.today = localToday(new Date())
    await Promise.all([this.#loadWeek(), this.#askSafety()])
  }

  showWeek(monday: CalendarDate): void {
    this.monday = monday
    void this.#loadWeek()
  }

  /** Adds an event, or changes the one with this id. Fails with `Refused` when the server says no. */
  async save(fields: EventFields, id: number | undefined): Promise<void> {
    const saved = await (id === undefined ? api.addEvent(fields) : api.changeEvent(id, fields))
    await this.#afterChange(saved.event.id, saved.stored)
  }

  async remove(id: number): Promise<void> {
    const { stored } = await api.removeEvent(id)
    await this.#afterChange(id, stored, id)
  }

  async undoRemove(id: number): Promise<void> {
    try {
      const saved = await api.putBackEvent(id)
      await this.#afterChange(id, saved.stored)
    } catch (thrown) {
      this.#tell({ kind: 'trouble', text: wordsOf(thrown) })
    }
  }

  dismiss(): void {
    clearTimeout(this.#noticeTimer)
    this.notice = undefined
  }

  async #afterChange(id: number, stored: boolean, undoId?: number): Promise<void> {
    const undo = undoId === undefined ? {} : { undoId }
    if (!stored) {
      this.waitingIds = new Set(this.waitingIds).add(id)
      this.#tell({ kind: 'waiting', text: WAITING_WORDS, ...undo })
      this.#watchSoon()
    }
    await this.refresh()
    if (stored) this.#tell({ kind: 'stored', text: savedWords(this.safety, undoId !== undefined), ...undo })
  }

  #watchSoon(): void {
    clearTimeout(this.#waitingTimer)
    this.#waitingTimer = setTimeout(() => void this.#watchWaiting(), WAITING_REFRESH_MS)
  }

  /** Asks until what waited is stored, then says so. */
  async #watchWaiting(): Promise<void> {
    if (this.waitingIds.size === 0) return
    await this.#askSafety()
    if (this.safety === undefined || this.safety.waiting) {
      this.#watchSoon()
      return
    }
    this.waitingIds = new Set()
    this.#tell({ ...this.notice, kind: 'stored', text: savedWords(this.safety, false) })
  }

  async #loadWeek(): Promise<void> {
    const asked = ++this.#lastAsked
    try {
      const [week, people] = await Promise.all([
        api.fetchWeek(this.monday, addDays(this.monday, 6)),
        api.fetchPeople(),
      ])
      // Somebody may have turned to another week meanwhile.
      if (asked !== this.#lastAsked) return
      this.occurrences = week
      this.people = people
      this.loaded = true
    } catch (thrown) {
      this.#tell({ kind: 'trouble', text: wordsOf(thrown) })
    }
  }

  async #askSafety(): Promise<void> {
    this.safety = await api.fetchSafety().catch(() => undefined)
  }

  #tell(notice: Notice): void {
    clearTimeout(this.#noticeTimer)
    this.notice = notice
    if (notice.kind === 'stored') this.#noticeTimer = setTimeout(() => this.dismiss(), NOTICE_MS)
  }
}

/** What a person is told of something that went wrong. */
export function wordsOf(thrown: unknown): Bilingual {
  return thrown instanceof api.Refused ? thrown.words : { sv: String(thrown), en: String(thrown) }
}
