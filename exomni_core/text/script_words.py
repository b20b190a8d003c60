# SPDX-License-Identifier: GPL-3.0-or-later
"""A word of a dozen languages in, whether it tells a stage direction, noise or speaker out."""

from __future__ import annotations

from typing import Final


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# What a caption tells of sounds and manners. A bracket is passed over only if all its words are
# among these, adverbs (-ly) or FILLERS.
NOISES: Final = _words(
    """music song singing sings instrumental jingle applause applauds clapping claps cheering cheers
    laughter laugh laughs laughing chuckle chuckles chuckling giggle giggles giggling sigh sighs
    sighing sob sobs sobbing cry cries crying weeping gasp gasps gasping groan groans groaning moan
    moans grunt grunts grunting cough coughs coughing sneeze sneezes sniff sniffs sniffles snore
    snores yawn yawns yawning breath breathes breathing inhales exhales silence silent pause pauses
    pausing beat inaudible unintelligible indistinct crosstalk chatter noise static beep beeps
    bleep bell bells ringing rings phone telephone knock knocks knocking footsteps thunder wind rain
    gunshot explosion engine horn siren barking barks scream screams screaming shout shouts shouting
    whisper whispers whispering mumbles mumbling stammers stuttering clears throat aside offscreen
    offstage v.o o.s o.c cont'd contd continued voiceover smiles smiling nods nodding shrugs
    shrugging
    musik gelächter lacht lachen lachend kichert seufzt seufzen applaus beifall pause stille husten
    hustet räuspert flüstert flüsternd leise laut schreit weint geräusch geräusche unverständlich
    musique rires rire rit applaudissements soupir soupire silence toux tousse chuchote inaudible
    bruit bruits pleure crie
    música musica risas risa ríe rie aplausos suspiro suspira silencio tos tose susurra ruido pausa
    inaudible llora grita risos ri suspira palmas tosse sussurra ruído grita
    musica risate ride applausi sospira silenzio tossisce sussurra rumore piange grida
    музыка смех смеётся смеется аплодисменты вздыхает вздох пауза тишина кашель кашляет шепчет шёпот
    плачет кричит шум неразборчиво
    muziek gelach lacht applaus zucht stilte hoest fluistert ruis onverstaanbaar
    muzyka śmiech śmieje oklaski wzdycha cisza kaszel szepcze niezrozumiałe
    müzik kahkaha güler alkış sessizlik öksürür fısıldar
    音乐 音樂 笑 笑声 笑聲 大笑 掌声 掌聲 鼓掌 叹气 嘆氣 咳嗽 沉默 停顿 停頓 哭 哭泣 尖叫 低声 噪音
    听不清 旁白 音楽 拍手 笑い 笑い声 ため息 沈黙 間 咳 泣く 叫ぶ 小声で
    음악 웃음 웃음소리 박수 한숨 침묵 기침 속삭이며 울음 소음
    """
)
FILLERS: Final = _words(
    """a an the and then of in on with background playing plays begins starts stops ends fades
    fading continues theme dramatic upbeat soft sad tense audience crowd all both off his her
    their again short long pause phone door loud spielt im hintergrund sich und
    de la le les en et des d'ambiance y el los e il di и в на"""
)
# What the bracket's first word may be where a line or a sentence begins: "(turns to Mary)".
STAGE_VERBS: Final = _words(
    """enters enter exits exit exeunt turns turning walks walking looks looking stares sits sitting
    stands standing rises leaves leaving points pointing nods shrugs smiles smiling frowns laughs
    sighs whispers whispering shouts shouting pauses picks puts takes opens closes runs kneels
    kisses hugs waves gestures grabs hands holds drops crosses approaches reads reading continues
    continuing interrupting dreht geht steht setzt schaut blickt zeigt nickt lächelt tritt ab
    entre sort se mira entra sale sonríe входит выходит встаёт садится смотрит улыбается"""
)
PRONOUNS: Final = _words("he she they er sie il elle él ella он она")
# Speakers that need no proof.
ROLES: Final = _words(
    """speaker narrator interviewer interviewee host moderator announcer presenter reporter
    voiceover voice man woman boy girl male female customer agent caller operator doctor patient
    teacher student guest audience all both person participant user assistant
    sprecher sprecherin erzähler erzählerin moderatorin interviewerin narrateur narratrice
    intervieweur locuteur narrador narradora entrevistador entrevistadora locutor рассказчик ведущий
    ведущая диктор narratore intervistatore
    旁白 主持人 记者 記者 说话人 說話人 发言人 ナレーター 司会 司会者 話者 해설 진행자 화자"""
)
# Words in capitals before a colon that are spoken.
SPOKEN_LABELS: Final = _words(
    """warning note notice attention caution danger important urgent breaking news update tip tips
    hint fyi ps p.s re fwd to from cc subject date time place topic title question answer example
    step part chapter section summary conclusion todo fixme error info debug alert reminder
    disclaimer spoiler edit tl;dr asap faq vs achtung hinweis wichtig warnung vorsicht frage antwort
    beispiel attention important remarque exemple atención aviso importante nota ejemplo внимание
    важно примечание пример вопрос ответ attenzione nota atenção aviso"""
)
